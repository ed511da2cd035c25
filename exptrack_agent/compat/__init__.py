"""Drop-ins: scripts written for another tracker run with exptrack by changing their import."""

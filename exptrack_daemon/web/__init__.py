"""The web studio: an HTTP API over a home folder, our pages and Gradio, behind one guard."""

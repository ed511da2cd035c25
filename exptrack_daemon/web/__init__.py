"""The web studio: an HTTP API over a home folder, our chart pages, and Gradio beside them, behind one guard."""

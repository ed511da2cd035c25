"""The studio's three Gradio tabs: Configuration, Training, Monitoring; loaded when `/ui` is asked for.

`mounting` is the door. `experiments` is the one module of the server that knows the agent; `simulation` is a
training script that happens to be ours. User text is shown by components that show text, never as HTML or
Markdown.
"""

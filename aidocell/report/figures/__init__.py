"""One function a figure; each gives SVG as text, drawn without a browser."""

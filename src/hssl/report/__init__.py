"""Reports, made from records alone: sections with text, tables and figures, and how they are rendered."""

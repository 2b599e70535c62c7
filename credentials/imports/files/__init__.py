"""Files that people bring, read as import lines: CSV, XLSX, NDJSON and JSON, recognized by content.

- `import_file`: the entry: recognizes the format and returns the lines
- `recognition`, `other_systems`: what a file is, and what it is instead of an import file
- `encoding`: bytes of any encoding into lines of text
- `delimited`, `workbook`, `json_documents`: one reader for each format
- `columns`, `values`, `dates`: cells and values into the forms that an import body has
- `templates`: a file to fill in for a kind
"""

"""Judge: controls compare what is declared, planned and observed with the law; nothing here acts or connects."""

"""What leaves the house: pages, the index, the workbook, data files."""

"""What the books hold: read, typed, checked, rolled up, tied out and kept; the chapter sees `stored` alone."""


old
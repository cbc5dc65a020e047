"""What the tests share: scripted servers, sessions, comparisons."""

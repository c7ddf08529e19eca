"""What an evaluation leaves behind: the answer to every item, and the scores that follow from them."""

"""Students on the Hub: what of them goes up, the model card, and the upload in one commit."""

"""What several folders of nodes need."""

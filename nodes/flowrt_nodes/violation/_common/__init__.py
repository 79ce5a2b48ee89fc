"""What several rules share: the life of a violation, approaches, standstill, pedestrians, encounters."""

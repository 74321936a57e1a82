"""A run from its plan to its images: submitted, resumed, cancelled, replayed."""

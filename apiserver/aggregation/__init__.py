"""API aggregation: group versions that other servers answer, as APIService objects say."""

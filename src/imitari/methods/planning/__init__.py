"""Methods that learn a model of a planning domain and act by plans."""

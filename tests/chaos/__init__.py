"""The service is killed with SIGKILL at random moments and at named points; what it said must hold afterwards."""

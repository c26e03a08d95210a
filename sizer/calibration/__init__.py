"""Calibration: plan which networks to time, time them, fit what explains the times, and keep it as a profile."""

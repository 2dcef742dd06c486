"""The formulas of the merge methods: functions of float32 tensors of one shape, kind by kind."""

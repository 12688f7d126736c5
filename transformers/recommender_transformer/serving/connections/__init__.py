"""HTTP and gRPC connections: limits, time-outs, compression, and what happens when a client disconnects."""

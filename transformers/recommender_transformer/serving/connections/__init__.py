"""HTTP and gRPC connections: admission control, limits, time-outs, compression, cancellation on disconnect."""

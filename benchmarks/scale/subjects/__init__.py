"""What the benchmarks of scale measure: releases, graphs and logs of any size."""

"""The shards' contract, the stream that reads them, and the same samples from raw folders."""

full1
(type.googleapis.com/google.rpc.RetryInfo
ÿ
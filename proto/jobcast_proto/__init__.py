"""The contracts of jobcast: wire messages (`rt_predictor_pb2`) and the bundle manifest."""

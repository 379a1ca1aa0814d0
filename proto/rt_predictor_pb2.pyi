from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobFeatures(_message.Message):
    __slots__ = ("processors_req", "nodes_req", "mem_req", "wallclock_req", "partition", "qos", "submit_time", "user", "account", "job_name", "gpus_req", "recent_runtimes")
    PROCESSORS_REQ_FIELD_NUMBER: _ClassVar[int]
    NODES_REQ_FIELD_NUMBER: _ClassVar[int]
    MEM_REQ_FIELD_NUMBER: _ClassVar[int]
    WALLCLOCK_REQ_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    QOS_FIELD_NUMBER: _ClassVar[int]
    SUBMIT_TIME_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ACCOUNT_FIELD_NUMBER: _ClassVar[int]
    JOB_NAME_FIELD_NUMBER: _ClassVar[int]
    GPUS_REQ_FIELD_NUMBER: _ClassVar[int]
    RECENT_RUNTIMES_FIELD_NUMBER: _ClassVar[int]
    processors_req: int
    nodes_req: int
    mem_req: float
    wallclock_req: float
    partition: str
    qos: str
    submit_time: int
    user: str
    account: str
    job_name: str
    gpus_req: int
    recent_runtimes: _containers.RepeatedScalarFieldContainer[float]
    def __init__(self, processors_req: _Optional[int] = ..., nodes_req: _Optional[int] = ..., mem_req: _Optional[float] = ..., wallclock_req: _Optional[float] = ..., partition: _Optional[str] = ..., qos: _Optional[str] = ..., submit_time: _Optional[int] = ..., user: _Optional[str] = ..., account: _Optional[str] = ..., job_name: _Optional[str] = ..., gpus_req: _Optional[int] = ..., recent_runtimes: _Optional[_Iterable[float]] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("features", "request_id", "metadata")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    features: JobFeatures
    request_id: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, features: _Optional[_Union[JobFeatures, _Mapping]] = ..., request_id: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

class PredictResponse(_message.Message):
    __slots__ = ("predicted_runtime_seconds", "confidence_lower", "confidence_upper", "model_version", "prediction_timestamp", "request_id", "runtime_category", "prediction_confidence", "feature_importance", "error", "quantile_levels", "quantile_seconds", "suggested_wallclock_seconds")
    class FeatureImportanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PREDICTED_RUNTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_LOWER_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_UPPER_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RUNTIME_CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PREDICTION_CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_IMPORTANCE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_LEVELS_FIELD_NUMBER: _ClassVar[int]
    QUANTILE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SUGGESTED_WALLCLOCK_SECONDS_FIELD_NUMBER: _ClassVar[int]
    predicted_runtime_seconds: float
    confidence_lower: float
    confidence_upper: float
    model_version: str
    prediction_timestamp: int
    request_id: str
    runtime_category: str
    prediction_confidence: float
    feature_importance: _containers.ScalarMap[str, float]
    error: str
    quantile_levels: _containers.RepeatedScalarFieldContainer[float]
    quantile_seconds: _containers.RepeatedScalarFieldContainer[float]
    suggested_wallclock_seconds: float
    def __init__(self, predicted_runtime_seconds: _Optional[float] = ..., confidence_lower: _Optional[float] = ..., confidence_upper: _Optional[float] = ..., model_version: _Optional[str] = ..., prediction_timestamp: _Optional[int] = ..., request_id: _Optional[str] = ..., runtime_category: _Optional[str] = ..., prediction_confidence: _Optional[float] = ..., feature_importance: _Optional[_Mapping[str, float]] = ..., error: _Optional[str] = ..., quantile_levels: _Optional[_Iterable[float]] = ..., quantile_seconds: _Optional[_Iterable[float]] = ..., suggested_wallclock_seconds: _Optional[float] = ...) -> None: ...

class PredictBatchRequest(_message.Message):
    __slots__ = ("jobs", "batch_id", "max_parallel")
    JOBS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_PARALLEL_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[JobFeatures]
    batch_id: str
    max_parallel: int
    def __init__(self, jobs: _Optional[_Iterable[_Union[JobFeatures, _Mapping]]] = ..., batch_id: _Optional[str] = ..., max_parallel: _Optional[int] = ...) -> None: ...

class PredictBatchResponse(_message.Message):
    __slots__ = ("predictions", "batch_id", "total_predictions", "failed_predictions", "errors", "processing_time_ms")
    PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    BATCH_ID_FIELD_NUMBER: _ClassVar[int]
    TOTAL_PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    FAILED_PREDICTIONS_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    PROCESSING_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    predictions: _containers.RepeatedCompositeFieldContainer[PredictResponse]
    batch_id: str
    total_predictions: int
    failed_predictions: int
    errors: _containers.RepeatedScalarFieldContainer[str]
    processing_time_ms: int
    def __init__(self, predictions: _Optional[_Iterable[_Union[PredictResponse, _Mapping]]] = ..., batch_id: _Optional[str] = ..., total_predictions: _Optional[int] = ..., failed_predictions: _Optional[int] = ..., errors: _Optional[_Iterable[str]] = ..., processing_time_ms: _Optional[int] = ...) -> None: ...

class GetModelInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetModelInfoResponse(_message.Message):
    __slots__ = ("model_type", "model_version", "training_date", "training_samples", "validation_mae", "validation_mape", "test_mae", "test_mape", "feature_names", "num_features", "is_loaded", "predictions_served", "average_latency_ms", "uptime_seconds", "ensemble_weights")
    class EnsembleWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    MODEL_TYPE_FIELD_NUMBER: _ClassVar[int]
    MODEL_VERSION_FIELD_NUMBER: _ClassVar[int]
    TRAINING_DATE_FIELD_NUMBER: _ClassVar[int]
    TRAINING_SAMPLES_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_MAE_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_MAPE_FIELD_NUMBER: _ClassVar[int]
    TEST_MAE_FIELD_NUMBER: _ClassVar[int]
    TEST_MAPE_FIELD_NUMBER: _ClassVar[int]
    FEATURE_NAMES_FIELD_NUMBER: _ClassVar[int]
    NUM_FEATURES_FIELD_NUMBER: _ClassVar[int]
    IS_LOADED_FIELD_NUMBER: _ClassVar[int]
    PREDICTIONS_SERVED_FIELD_NUMBER: _ClassVar[int]
    AVERAGE_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ENSEMBLE_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    model_type: str
    model_version: str
    training_date: str
    training_samples: int
    validation_mae: float
    validation_mape: float
    test_mae: float
    test_mape: float
    feature_names: _containers.RepeatedScalarFieldContainer[str]
    num_features: int
    is_loaded: bool
    predictions_served: int
    average_latency_ms: float
    uptime_seconds: int
    ensemble_weights: _containers.ScalarMap[str, float]
    def __init__(self, model_type: _Optional[str] = ..., model_version: _Optional[str] = ..., training_date: _Optional[str] = ..., training_samples: _Optional[int] = ..., validation_mae: _Optional[float] = ..., validation_mape: _Optional[float] = ..., test_mae: _Optional[float] = ..., test_mape: _Optional[float] = ..., feature_names: _Optional[_Iterable[str]] = ..., num_features: _Optional[int] = ..., is_loaded: _Optional[bool] = ..., predictions_served: _Optional[int] = ..., average_latency_ms: _Optional[float] = ..., uptime_seconds: _Optional[int] = ..., ensemble_weights: _Optional[_Mapping[str, float]] = ...) -> None: ...

class HealthCheckRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class HealthCheckResponse(_message.Message):
    __slots__ = ("status", "message", "uptime_seconds", "memory_usage_mb", "cpu_usage_percent", "model_status")
    class ServingStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[HealthCheckResponse.ServingStatus]
        SERVING: _ClassVar[HealthCheckResponse.ServingStatus]
        NOT_SERVING: _ClassVar[HealthCheckResponse.ServingStatus]
    UNKNOWN: HealthCheckResponse.ServingStatus
    SERVING: HealthCheckResponse.ServingStatus
    NOT_SERVING: HealthCheckResponse.ServingStatus
    class ModelStatusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USAGE_MB_FIELD_NUMBER: _ClassVar[int]
    CPU_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MODEL_STATUS_FIELD_NUMBER: _ClassVar[int]
    status: HealthCheckResponse.ServingStatus
    message: str
    uptime_seconds: int
    memory_usage_mb: float
    cpu_usage_percent: float
    model_status: _containers.ScalarMap[str, str]
    def __init__(self, status: _Optional[_Union[HealthCheckResponse.ServingStatus, str]] = ..., message: _Optional[str] = ..., uptime_seconds: _Optional[int] = ..., memory_usage_mb: _Optional[float] = ..., cpu_usage_percent: _Optional[float] = ..., model_status: _Optional[_Mapping[str, str]] = ...) -> None: ...

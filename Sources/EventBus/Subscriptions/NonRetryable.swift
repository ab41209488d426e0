/// An error that a retry cannot fix. The delivery becomes a dead letter immediately.
///
/// ```swift
/// struct UnknownProduct: Error, NonRetryable {}
/// ```
public protocol NonRetryable: Error {}

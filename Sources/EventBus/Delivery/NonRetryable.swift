/// An error that says itself that trying again is no use: the delivery goes to the dead letters at once.
///
/// ```swift
/// struct UnknownProduct: Error, NonRetryable {}
/// ```
public protocol NonRetryable: Error {}

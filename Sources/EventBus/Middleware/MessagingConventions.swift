/// Values of OpenTelemetry's conventions for messaging.
enum MessagingConventions {
    /// The value of `messaging.system` for a bus over any transport.
    static let system = "eventbus"

    /// Returns the value of `error.type`, which is the code of an error of the bus, and otherwise the type.
    static func errorType(of error: any Error) -> String {
        (error as? EventBusError)?.code.description ?? String(reflecting: type(of: error))
    }
}

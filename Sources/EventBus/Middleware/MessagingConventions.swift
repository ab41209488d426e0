/// Values of OpenTelemetry's conventions for messaging.
enum MessagingConventions {
    /// Returns the value of `messaging.system`, which is the name of the transport unless a service has chosen another one.
    static func system(_ chosen: String?, transportName: String?) -> String {
        chosen ?? transportName ?? "eventbus"
    }

    /// Returns the value of `error.type`, which is the code of an error of the bus, and otherwise the type.
    static func errorType(of error: any Error) -> String {
        (error as? EventBusError)?.code.description ?? String(reflecting: type(of: error))
    }
}

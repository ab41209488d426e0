/// A step from the objects on a broker to those that services need.
struct TopologyChange: Hashable, Sendable, Encodable {
    /// The kind of a step.
    enum Action: String, Hashable, Sendable, Encodable {
        /// The object is missing, and will be declared.
        case declare
        /// The object differs from what services need. It cannot be changed.
        case clash
        /// No service needs the queue any more.
        case retire
        /// A service removes a binding.
        case unbind
        /// A binding stays, although no service needs it.
        case staysBound = "stays_bound"
    }

    var action: Action
    /// The name of the exchange or queue.
    var object: String
    /// The reason, in words.
    var reason: String
    /// The number of events in the queue, or `nil` for other objects and if it is unknown.
    var events: Int?
    /// The number of the queue's consumers, or `nil` for other objects and if it is unknown.
    var consumers: Int?
    /// The remedy, or `nil` if there is nothing to do.
    var remedy: String?
    /// A Boolean value indicating whether the change would leave events, consumers or bindings behind, or fail.
    var strands = false

    /// The line for people to read.
    var line: String {
        let sign =
            switch action {
            case .declare: "+"
            case .clash: "≠"
            case .retire: "-"
            case .unbind, .staysBound: "~"
            }
        var line = "\(sign) \(object): \(reason)"
        if let events { line += "; it holds \(events.counted("event"))" }
        if let consumers, consumers > 0 { line += ", \(consumers.counted("consumer"))" }
        return line
    }
}

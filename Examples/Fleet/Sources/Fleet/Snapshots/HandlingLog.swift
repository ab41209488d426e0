/// The handled events according to the logs of the services.
public struct HandlingLog: Sendable {
    /// The number of times that each event had its effect, by service and event.
    private var handled: [Key: Int] = [:]
    /// The number of deliveries that had already been handled.
    public private(set) var duplicatesSuppressed = 0

    private struct Key: Hashable {
        var kind: ServiceKind
        var event: String
    }

    /// Reads the logs of services.
    public init(_ services: [ServiceProcess]) {
        for service in services {
            for entry in service.log.entries() {
                switch entry.message {
                case "handled": handled[Key(kind: service.kind, event: entry["event-id"] ?? ""), default: 0] += 1
                case "duplicate suppressed": duplicatesSuppressed += 1
                default: break
                }
            }
        }
    }

    /// The number of events that had their effect.
    public var count: Int { handled.count }

    /// The events that had their effect more than once, one on each line.
    public var twice: [String] {
        handled.filter { $0.value > 1 }
            .map { "\($0.key.event) was handled \($0.value) times by the group \($0.key.kind.rawValue)" }
            .sorted()
    }
}

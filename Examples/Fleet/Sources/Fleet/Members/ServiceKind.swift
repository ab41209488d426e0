/// The services of the shop and their start parameters.
public enum ServiceKind: String, CaseIterable, Sendable {
    /// The service that accepts orders.
    case orders
    /// The service that reserves stock.
    case inventory
    /// The service that notifies customers.
    case notifications

    /// The name of its program.
    public var executable: String {
        switch self {
        case .orders: "order-service"
        case .inventory: "inventory-service"
        case .notifications: "notification-service"
        }
    }

    /// The name of its database file.
    var databaseFile: String { "\(rawValue).sqlite" }
}

/// The services of the shop, and what each is started with.
public enum ServiceKind: String, CaseIterable, Sendable {
    /// Takes orders.
    case orders
    /// Puts aside what is ordered.
    case inventory
    /// Tells customers.
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

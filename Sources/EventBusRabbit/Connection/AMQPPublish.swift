/// One event on its way out.
///
/// A class, since it passes through several hands before it is confirmed, and a copy has a dozen references to count.
final class AMQPPublish: Sendable {
    let exchange: String
    let routingKey: String
    /// Whether the broker returns it when no queue takes it.
    let isMandatory: Bool
    let properties: AMQPProperties
    let body: [UInt8]

    init(
        exchange: String,
        routingKey: String,
        isMandatory: Bool = true,
        properties: AMQPProperties,
        body: [UInt8]
    ) {
        self.exchange = exchange
        self.routingKey = routingKey
        self.isMandatory = isMandatory
        self.properties = properties
        self.body = body
    }

    /// What it takes on the wire, roughly.
    var size: Int { body.count + 256 }
}

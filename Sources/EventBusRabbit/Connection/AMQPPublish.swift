/// One event to publish.
///
/// It is a class because it is passed on several times before it is confirmed, and a copy would retain a dozen
/// references.
final class AMQPPublish: Sendable {
    let exchange: String
    let routingKey: String
    /// A Boolean value indicating whether the broker returns the event if no queue matches.
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

    /// The approximate size on the wire.
    var size: Int { body.count + 256 }
}

/// One event on its way out.
struct AMQPPublish: Sendable {
    var exchange: String
    var routingKey: String
    /// Whether the broker returns it when no queue takes it.
    var isMandatory = true
    var properties: AMQPProperties
    var body: [UInt8]

    /// What it takes on the wire, roughly.
    var size: Int { body.count + 256 }
}

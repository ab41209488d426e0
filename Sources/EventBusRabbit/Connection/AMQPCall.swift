import EventBus

/// A method that the broker answers.
enum AMQPCall: Sendable {
    case channelOpen
    case channelClose
    case confirmSelect
    case exchangeDeclare(name: String, type: String, isPassive: Bool = false, arguments: [String: HeaderValue] = [:])
    case exchangeDelete(name: String)
    case exchangeBind(source: String, destination: String, routingKey: String)
    case queueDeclare(QueueDeclaration)
    case queueDelete(name: String)
    case queueBind(queue: String, exchange: String, routingKey: String)
    case queueUnbind(queue: String, exchange: String, routingKey: String)
    case queuePurge(name: String)
    case basicQos(prefetch: UInt16)
    case basicConsume(
        queue: String,
        tag: String,
        isAutoAcknowledged: Bool = false,
        arguments: [String: HeaderValue] = [:]
    )
    case basicCancel(tag: String)
    case basicGet(queue: String)
}

struct QueueDeclaration: Hashable, Sendable {
    var name: String
    var isPassive = false
    var isDurable = true
    var isExclusive = false
    var isAutoDeleted = false
    var arguments: [String: HeaderValue] = [:]
}

/// The broker's reply to a method.
enum AMQPReply: Sendable {
    case done
    case queue(name: String, messages: Int, consumers: Int)
    case consumer(tag: String)
    case message(AMQPDelivery, remaining: Int)
    case noMessage
}

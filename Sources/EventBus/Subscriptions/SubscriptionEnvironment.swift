/// What a subscription needs of the bus it belongs to.
struct SubscriptionEnvironment: Sendable {
    let transport: any Transport
    let clock: AnyClock
    let watchdog: HandlerWatchdog
    let logger: BusLogger
    let shutdownTimeout: Duration
    let cancellationGrace: Duration
    /// Tells the handlers of this bus from those of others.
    let bus: ObjectIdentifier
}

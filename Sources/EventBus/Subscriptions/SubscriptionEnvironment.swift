/// The parts of the bus that a subscription needs.
struct SubscriptionEnvironment: Sendable {
    let transport: any Transport
    let clock: AnyClock
    let payloads: PayloadPipeline
    let watchdog: HandlerWatchdog
    let logger: BusLogger
    let shutdownTimeout: Duration
    let cancellationGrace: Duration
    /// The identity of the bus, which distinguishes its handlers from those of others.
    let bus: ObjectIdentifier
}

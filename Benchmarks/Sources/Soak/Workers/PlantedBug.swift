/// A bug that a worker has on purpose, to show that the audit finds it.
enum PlantedBug: String, Codable, CaseIterable, Sendable {
    /// Consumers without an order acknowledge an event before it is handled.
    case acknowledgeBeforeHandling
    /// Publishers report an event as confirmed when it is sent, and drop it if the connection is lost.
    case dropUnconfirmed
    /// Consumers with an inbox count an outage of the inbox as a failed attempt.
    case countOutageAsAttempt
    /// Consumers by key handle the events of one key concurrently.
    case ignoreKeys
    /// Consumers end while their handlers are still running, and acknowledge the events of those handlers.
    case endBeforeHandlers
    /// Consumers with an inbox do not record what they have handled.
    case forgetRecords
    /// Lock users release a lock before the work under it ends.
    case releaseEarly
    /// Consumers without an order handle one event in a hundred twice.
    case handleTwice
}

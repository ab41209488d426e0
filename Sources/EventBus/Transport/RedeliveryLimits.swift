/// The numbers of redeliveries that protect a service from an event that crashes it.
package enum RedeliveryLimits {
    /// The number of redeliveries after which a delivery is handled alone.
    package static let alone = 3
    /// The maximum number of redeliveries. After the next one, the event becomes a dead letter.
    package static let maximum = 20
}

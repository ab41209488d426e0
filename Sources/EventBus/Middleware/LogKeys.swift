/// The metadata keys of the library's log messages.
package enum LogKeys {
    package static let eventID = "event-id"
    package static let correlationID = "correlation-id"
    package static let topic = "topic"
    package static let group = "group"
    package static let subscription = "subscription"
    package static let attempt = "attempt"
    package static let error = "error"
    package static let reason = "reason"
    package static let count = "count"
    package static let delay = "delay"
    package static let duration = "duration"
    package static let limit = "limit"
}

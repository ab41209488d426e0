/// The headers of requests and replies.
enum RequestHeaders {
    /// The header with the time at which the requester stops waiting, in milliseconds since 1970.
    static let expires = "request-expires"
    /// The assumed clock difference between two hosts, in milliseconds, before a request counts as expired.
    static let clockSkew: Int64 = 60_000
    /// The header that reports a failure of the responder, with the error text if the responder reveals it.
    static let error = "reply-error"
    /// The replacement for an error text that the responder does not reveal.
    static let withoutText: HeaderValue = "the reason is in the responder's log"
}

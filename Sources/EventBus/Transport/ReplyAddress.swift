/// The address for the reply to a request. Only the transport that created it can interpret it.
public struct ReplyAddress: Hashable, Sendable {
    /// The transport's name for the requester.
    public var address: String
    /// The identity of this request among those of the requester.
    public var requestID: String

    /// Creates an address. It is called by transports only.
    public init(address: String, requestID: String) {
        self.address = address
        self.requestID = requestID
    }
}

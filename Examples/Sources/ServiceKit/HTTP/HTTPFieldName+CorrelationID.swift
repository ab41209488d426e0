public import HTTPTypes

extension HTTPField.Name {
    /// The header `X-Correlation-ID`, in which clients may say what a request belongs to, and are told it.
    public static let correlationID: HTTPField.Name = {
        guard let name = HTTPField.Name("X-Correlation-ID") else { preconditionFailure("the name is a token") }
        return name
    }()
}

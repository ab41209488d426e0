public import HTTPTypes

extension HTTPField.Name {
    /// The header `X-Correlation-ID`, with which clients may send a correlation id, and which is part of the response.
    public static let correlationID: HTTPField.Name = {
        guard let name = HTTPField.Name("X-Correlation-ID") else { preconditionFailure("the name is a token") }
        return name
    }()
}

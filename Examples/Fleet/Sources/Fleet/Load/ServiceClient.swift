public import Foundation
import FoundationNetworking
import ShopData

/// The response of a service.
public struct Answer: Sendable {
    /// The HTTP status.
    public var status: Int
    /// The body.
    public var body: Data
    /// The header fields by lowercase name.
    public var headers: [String: String]

    /// The body as text.
    public var text: String { String(decoding: body, as: UTF8.self) }
}

/// An HTTP client for the services on this machine.
public struct ServiceClient: Sendable {
    private let session: URLSession
    /// The token that the services know.
    let token: String

    /// Creates a client with a maximum number of connections to a service.
    public init(connections: Int, token: String, timeout: Duration = .seconds(30)) {
        self.token = token
        let configuration = URLSessionConfiguration.ephemeral
        configuration.httpMaximumConnectionsPerHost = max(1, connections)
        configuration.timeoutIntervalForRequest = timeout.seconds
        configuration.urlCache = nil
        session = URLSession(configuration: configuration)
    }

    /// Sends a request.
    ///
    /// - Parameters:
    ///   - method: The method, such as `GET`.
    ///   - port: The port of the service.
    ///   - path: The path and the query, percent-encoded.
    ///   - headers: The header fields.
    ///   - json: The body.
    /// - Throws: `URLError` if there is no response.
    public func send(
        _ method: String = "GET",
        port: Int,
        _ path: String,
        headers: [String: String] = [:],
        json: Data? = nil
    ) async throws -> Answer {
        guard let url = URL(string: "http://127.0.0.1:\(port)\(path)") else {
            throw FleetProblem("\(path) is no path of a URL")
        }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
        for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
        if let json {
            request.httpBody = json
            request.setValue("application/json", forHTTPHeaderField: "Content-Type")
        }
        let (body, response) = try await session.data(for: request)
        guard let response = response as? HTTPURLResponse else { throw FleetProblem("\(url) answered no HTTP") }
        let fields = response.allHeaderFields.compactMap { name, value in
            (name as? String).map { ($0.lowercased(), "\(value)") }
        }
        return Answer(
            status: response.statusCode,
            body: body,
            headers: Dictionary(fields) { first, _ in first }
        )
    }
}

import HTTPTypes
import Hummingbird
import Synchronization

/// The routes of a service, which distinguish an unknown path from a method that a path does not support.
final class RouteTable: Sendable {
    /// Hummingbird's name for the route of a request that matched none.
    static let unmatched = "NotFound"

    private struct Route: Sendable {
        let path: RouterPath
        let method: HTTPRequest.Method
    }

    private let routes = Mutex<[Route]>([])

    /// Reads the routes that the router has now.
    func read(_ router: Router<ServiceRequestContext>) {
        let all = router.routes.map { Route(path: $0.path, method: $0.method) }
        routes.withLock { $0 = all }
    }

    /// Returns the problem for a request that no route matched: 405 if its path supports other methods, and 404
    /// otherwise.
    func problem(for request: Request, _ context: ServiceRequestContext) -> HTTPProblem {
        let matching = routes.withLock { $0 }.filter { $0.path.matches(request.uri.path) }
        guard let first = matching.first else {
            return HTTPProblem(.notFound, "Not found", detail: "There is nothing at this path.")
        }
        context.coreContext.endpointPath.value = first.path.description
        var methods = Set(matching.map(\.method.rawValue))
        if methods.contains("GET") { methods.insert("HEAD") }
        let allowed = methods.sorted().joined(separator: ", ")
        return HTTPProblem(
            .methodNotAllowed,
            "The method is not allowed",
            detail: "This path takes \(allowed).",
            headers: [.allow: allowed]
        )
    }
}

extension RouterPath {
    /// Returns a Boolean value indicating whether a request's path matches this route.
    fileprivate func matches(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        for (index, element) in components.enumerated() {
            if element == .recursiveWildcard { return true }
            guard index < parts.count, element ~= parts[index] else { return false }
        }
        return parts.count == components.count
    }
}

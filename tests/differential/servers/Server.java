// SPDX-License-Identifier: MIT
// usage: Server PORT
import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.util.Arrays;
import java.util.concurrent.Executors;

public class Server {
	static final byte[] BIG = new byte[8 << 20];
	static final long TICK_MS = 700;

	static void answer(HttpExchange exchange, byte[] body) throws IOException {
		exchange.sendResponseHeaders(200, body.length);
		exchange.getResponseBody().write(body);
		exchange.close();
	}

	static void tick(HttpExchange exchange, int count) throws IOException, InterruptedException {
		exchange.sendResponseHeaders(200, 0);
		for (int number = 1; number <= count; number++) {
			exchange.getResponseBody().write(("tick-" + number + "\n").getBytes());
			exchange.getResponseBody().flush();
			Thread.sleep(TICK_MS);
		}
		exchange.close();
	}

	static void serve(HttpExchange exchange) throws IOException {
		try {
			switch (exchange.getRequestURI().getPath()) {
			case "/big": answer(exchange, BIG); break;
			case "/drip": tick(exchange, 4); break;
			case "/push": tick(exchange, 10); break;
			case "/later": Thread.sleep(2000); answer(exchange, "later\n".getBytes()); break;
			case "/upload":
				int length = exchange.getRequestBody().readAllBytes().length;
				answer(exchange, (length + " received\n").getBytes());
				break;
			default: answer(exchange, "small\n".getBytes());
			}
		} catch (InterruptedException e) {
			exchange.close();
		}
	}

	public static void main(String[] arguments) throws IOException {
		Arrays.fill(BIG, (byte) 'b');
		HttpServer server = HttpServer.create(
			new InetSocketAddress("::", Integer.parseInt(arguments[0])), 1024);
		server.setExecutor(Executors.newCachedThreadPool());
		server.createContext("/", Server::serve);
		server.start();
	}
}

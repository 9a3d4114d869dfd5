//! `GET /metrics`: what Prometheus collects.
//!
//! `web3signer` has the families by Web3Signer's names, for dashboards that ask for these; `process` those that every
//! Prometheus knows; `signing`, `state` and `shared_ledger` our own. There is no series a key, so their number is
//! bounded.

mod exposition;
mod fetched;
mod process;
mod shared_ledger;
mod signing;
mod state;
mod web3signer;

use std::fmt;
use std::sync::Arc;

use hyper::HeaderMap;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, prometheus_text, text};
use prometheus_client::registry::Registry;

use self::exposition::Exposition;
use super::Api;
use super::problem::Problem;
use crate::http::negotiation::accepts_openmetrics;
use crate::http::response::ApiResponse;

/// All metrics of this moment, as OpenMetrics where that is named in `Accept`, else in Prometheus' text format.
pub(crate) fn metrics(api: &Arc<Api>, headers: &HeaderMap) -> Result<ApiResponse, Problem> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(api))));
    let mut body = String::with_capacity(USUAL_BYTES);
    let (written, response): (_, fn(String) -> ApiResponse) = if accepts_openmetrics(headers) {
        (text::encode(&mut body, &registry), ApiResponse::openmetrics)
    } else {
        (prometheus_text::encode(&mut body, &registry), ApiResponse::prometheus)
    };
    match written {
        Ok(()) => Ok(response(body)),
        Err(error) => Err(Problem::fault("the metrics could not be written", error)),
    }
}

/// One scrape, as the exposition library asks for it.
struct Scrape(Arc<Api>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self(api) = self;
        let mut exposition = Exposition::new(encoder);
        web3signer::write(&mut exposition, api)?;
        signing::write(&mut exposition, &api.signer)?;
        state::write(&mut exposition, api)?;
        shared_ledger::write(&mut exposition, &api.signer.protection)?;
        process::write(&mut exposition, api.started)
    }
}

/// About what a scrape takes.
const USUAL_BYTES: usize = 48 * 1024;

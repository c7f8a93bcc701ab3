"""What people write first: a Flask view that calls predict_proba and commits an ORM row. For comparison only."""

from __future__ import annotations

import os
from datetime import UTC, datetime

import joblib
import numpy as np
from flask import Flask, jsonify, request
from flask_sqlalchemy import SQLAlchemy

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["NAIVE_DATABASE"]
db = SQLAlchemy(app)
model = joblib.load(os.environ["NAIVE_MODEL"])


class Prediction(db.Model):  # type: ignore[name-defined,misc]
    """One logged row."""

    id = db.Column(db.Integer, primary_key=True)
    at = db.Column(db.DateTime)
    features = db.Column(db.JSON)
    prediction = db.Column(db.Float)
    probability = db.Column(db.Float)


with app.app_context():
    db.create_all()


@app.post("/predict")
def predict():  # type: ignore[no-untyped-def]
    """Answer and log."""
    rows = request.get_json()["features"]
    probabilities = model.predict_proba(np.array(rows))
    best = probabilities.argmax(axis=1)
    for row, place, p in zip(rows, best, probabilities, strict=True):
        values = {"features": row, "prediction": float(model.classes_[place]), "probability": float(p[place])}
        db.session.add(Prediction(at=datetime.now(UTC), **values))
    db.session.commit()
    return jsonify(predictions=model.classes_[best].tolist(), probabilities=probabilities.max(axis=1).tolist())


@app.post("/constant")
def constant():  # type: ignore[no-untyped-def]
    """Answer the same always: the ceiling of the stack."""
    request.get_data()
    return jsonify(predictions=[1], probabilities=[0.85])
